"""The checks in front of all screens: hosts, origins, logins."""
