"""The parts of a report's page: each a function of the material, None where it has nothing."""
