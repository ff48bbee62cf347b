"""Another commit of the project, run beside the one that is checked out."""
