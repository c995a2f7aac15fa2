"""Speed beside other libraries: each contender in a process of its own, timed in alternating rounds."""
