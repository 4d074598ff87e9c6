"""A walk from this device to the far end: what works, and what to do about what does not.

What is found out (`gathering`) and what follows from it (`judging`) are apart; the
order, and which step needs which, is in `walk`.
"""
