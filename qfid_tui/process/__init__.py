"""The scorer as a child process: started, read, recorded, replayed."""
