"""The words of the demo shop's titles and descriptions."""

TOPICS: dict[str, tuple[str, ...]] = {
    "hiking": (
        "tent", "boots", "backpack", "compass", "lantern", "sleeping bag", "trekking poles",
        "water bottle", "trail map", "rain jacket", "camp stove", "hammock",
    ),
    "baking": (
        "rolling pin", "whisk", "cake tin", "oven mitt", "flour sifter", "muffin tray",
        "dough scraper", "piping bag", "cookie cutter", "kitchen scale", "apron", "bread basket",
    ),
    "painting": (
        "easel", "canvas", "brush set", "palette", "watercolours", "sketchbook", "charcoal",
        "varnish", "acrylics", "pastels", "portfolio", "frame",
    ),
    "gardening": (
        "trowel", "watering can", "seed tray", "pruning shears", "flower pot", "rake",
        "garden gloves", "trellis", "compost bin", "wheelbarrow", "hose", "bird feeder",
    ),
    "cycling": (
        "helmet", "bell", "saddle", "bike lock", "tyre pump", "pedals", "chain oil",
        "handlebar tape", "rear light", "pannier", "repair kit", "jersey",
    ),
    "music": (
        "guitar strings", "metronome", "tuner", "music stand", "drumsticks", "capo",
        "microphone", "amplifier", "tambourine", "harmonica", "ukulele", "sheet music",
    ),
    "sewing": (
        "needle set", "thread spools", "fabric scissors", "measuring tape", "pin cushion",
        "zipper pack", "thimble", "embroidery hoop", "bobbins", "pattern paper", "iron",
        "button box",
    ),
    "stargazing": (
        "telescope", "star chart", "eyepiece", "tripod", "red torch", "lens cloth", "planisphere",
        "moon filter", "binoculars", "camera adapter", "finder scope", "night notebook",
    ),
}  # fmt: skip
"""Things to buy by topic."""

ADJECTIVES = (
    "classic", "compact", "sturdy", "light", "premium", "handy", "folding", "small", "large",
    "travel", "everyday", "deluxe", "basic", "smart", "vintage", "modern",
)  # fmt: skip
"""Words that say nothing about the topic."""
