"""What makes a card an appliance: what lasts, how it is shown, how it is upgraded."""
