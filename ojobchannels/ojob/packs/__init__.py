"""The bundled packs: YAML files, and the Python that their code calls."""
