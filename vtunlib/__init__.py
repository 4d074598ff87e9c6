"""What the RDV server and the tunnelling devices share.

The library imports neither `rdv` nor `tundev`; both of them import it.
"""
