"""`file`: one JSON file that people can read and mend, shared by the processes of one host."""
