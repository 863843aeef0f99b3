"""The binary protocol of Ignite's thin clients: connections, and the requests on them."""
