"""Results that travel: cells packed into an archive, checked, unpacked and merged."""
