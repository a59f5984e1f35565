"""What lies beyond one end of the acquired range: zero, or what the other end and the phase of the image tell."""
