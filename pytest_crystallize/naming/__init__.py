"""What things are called, and where in the code of the user they are."""
