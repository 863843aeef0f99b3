"""The commands of ``ojob``, one module for each, in folders by what they do."""
