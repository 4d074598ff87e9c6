"""The lab: machines, routers, a customer's LAN and a technician's laptop on one Debian host.

Machines (RDV server, onsites, masters) are systemd-nspawn containers with their own
systemd, bus and journal; everything else is a network namespace with real programs.
All that the lab makes carries the prefix `rdvlab-`, so that what an interrupted run left
is found without memory. The host's own network is never touched.
"""
