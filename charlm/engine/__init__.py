"""What makes it fast: the recurrent layers' inner loop, and the compiled loop that reads and writes characters."""
