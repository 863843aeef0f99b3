"""Where the nodes of a server are, and the connections to each of them."""
