"""A few sentences of three languages, and what their words mean."""

ENGLISH = [
    "the house is near the water and the air is cold",
    "my home is a house and the book is red",
    "we eat bread and drink water",
    "the children read the book in the house",
    "House Water Book Home",
] * 4
SWAHILI = [
    "nyumba iko karibu na maji baridi",
    "kitabu cha nyumbani ni chekundu",
    "watoto wanasoma kitabu katika nyumba",
    "tunakula mkate na kunywa maji",
    "Nyumba kubwa, kitabu kipya, maji",
    "ቤት ውሃ መጽሐፍ",
] * 4
LEXICON = {
    "sw": [("house", "nyumba"), ("home", "nyumba"), ("water", "maji"), ("book", "kitabu")],
    "am": [("house", "ቤት"), ("water", "ውሃ")],
}
