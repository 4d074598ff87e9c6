"""The admin's command, `rdv-admin`: a module for each subject, its words beside what they do."""
