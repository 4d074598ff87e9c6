"""TLS on 443, for devices behind firewalls that pass only web traffic: files, CA, certificate, upkeep.

stunnel takes the TLS off and hands the SSH inside it to rdv-sshd. What
authenticates the server to a device is its pinned SSH host key; the certificate
lets the device tell an interception from a broken network.
"""
