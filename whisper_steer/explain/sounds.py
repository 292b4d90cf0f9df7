"""What a listener would call a sound: names for the labels of sound data sets, from narrow to wide.

``names_of("dog_bark")`` is ``("dog bark", "animal")``: a feature that fires on dogs alone is named by the first, one
that fires on any animal by the second. A label that is not known here is its own name.
"""

from __future__ import annotations

SILENCE = "silence"
SPEECH = "speech"
SENTENCES = "sentences"
"""class of speech that is no single word; no name for a latent"""

_SAME = {
    "dog bark": "dog, dog bark, dog barking, bark",
    "cat": "cat, meow",
    "birds": "birds, chirping birds, bird",
    "siren": "siren, ambulance siren",
    "alarm": "alarm, clock alarm",
    "gunshot": "gun shot, gunshot, gunshot or gunfire",
    "engine": "engine, engine idling, traffic, highway, road",
    "air conditioner": "air conditioner, ceiling fan, dryer, vacuum cleaner",
    "drilling": "drilling, drill",
    "washing machine": "washing machine, laundry room",
    "bells": "church bells, bells, wind chimes",
    "thunder": "thunder, thunderstorm",
    "rain": "rain, light rain, heavy rain, rain on car roof, rain on leaves, rain on tent, rain on umbrella, "
    "rain on window",
    "wind": "wind, howling wind, wind in trees",
    "water": "water, river, waterfall, waves, running tap, droplets, pouring water, sea waves, boiling water",
    "noise": "noise, white noise, pink noise, brown noise",
    "children": "children, children playing",
    "crowd": "crowd, crowded bar, cafe, restaurant, supermarket, babble",
    "violin": "violin, violin or fiddle",
    "guitar": "guitar, acoustic guitar",
}
_MEMBERS = {
    "animal": "dog bark, cat, birds, cows, crows, sheep, frog, owl, wolf, seagulls, crickets, woodpecker, whale",
    "machine": "engine, air conditioner, drilling, jackhammer, washing machine, train, airplane, exercise bike",
    "signal": "siren, car horn, alarm",
    "bang": "gunshot, fireworks, glass breaking",
    "weather": "rain, wind, thunder",
    "drums": "bass drum, snare drum, hi hat",
    "strings": "violin, cello, double bass, guitar",
    "wind instrument": "flute, clarinet, saxophone",
    "voices": "children, crowd, crying baby",
    "music": "drums, strings, wind instrument, street music, game music, piano",
}


def _reversed(table: dict[str, str]) -> dict[str, str]:
    return {each: name for name, several in table.items() for each in several.split(", ")}


_NAME, _WIDER = _reversed(_SAME), _reversed(_MEMBERS)


def names_of(label: str) -> tuple[str, ...]:
    """Names for the label of a clip without speech, the narrowest first."""
    plain = " ".join(label.replace("_", " ").replace("-", " ").lower().split())
    if plain.startswith("game music"):
        plain = "game music"
    elif plain.startswith("game sfx"):
        plain = "game sound"
    names = [_NAME.get(plain, plain)]
    while wider := _WIDER.get(names[-1]):
        names.append(wider)
    return tuple(names)


__all__ = ["SENTENCES", "SILENCE", "SPEECH", "names_of"]
