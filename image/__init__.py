"""Ready-to-flash images: built around pi-gen, checked, and made one device's card."""
