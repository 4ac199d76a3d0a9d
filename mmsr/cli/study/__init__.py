"""`mmsr study`: what is done with studies; a file for each larger command."""
