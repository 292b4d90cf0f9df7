"""How soon live listening tells that speech starts and ends, and how often it starts where nobody speaks."""
