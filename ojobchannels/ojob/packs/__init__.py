"""The bundled packs: their YAML files, and the objects that the code of their jobs uses."""
