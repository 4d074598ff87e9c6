"""What takes hours: an image's card in QEMU, its power cut, its kernel crashed: `make soak`."""
