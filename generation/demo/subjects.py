"""The names a caption can use for a subject and a style, and the Iconify icon behind each. Tables only."""

from __future__ import annotations

# Style word in captions -> Iconify set. Noto is shaded, Fluent flat with soft gradients, Twemoji plain flat.
STYLES: dict[str, str] = {
    "shaded style": "noto",
    "soft style": "fluent-emoji-flat",
    "flat style": "twemoji",
}

# Name in captions -> icon in all three sets.
SUBJECTS: dict[str, str] = {
    "apple": "red-apple", "banana": "banana", "pear": "pear", "lemon": "lemon", "strawberry": "strawberry",
    "grapes": "grapes", "watermelon": "watermelon", "cherries": "cherries", "pineapple": "pineapple",
    "carrot": "carrot", "mushroom": "mushroom", "cactus": "cactus", "palm tree": "palm-tree",
    "pine tree": "evergreen-tree", "tree": "deciduous-tree", "cat": "cat-face", "dog": "dog-face",
    "fish": "tropical-fish", "whale": "spouting-whale", "octopus": "octopus", "crab": "crab",
    "butterfly": "butterfly", "ladybug": "lady-beetle", "turtle": "turtle", "frog": "frog", "penguin": "penguin",
    "owl": "owl", "elephant": "elephant", "lion": "lion", "fox": "fox", "panda": "panda", "pig": "pig-face",
    "rabbit": "rabbit-face", "house": "house", "castle": "castle", "rocket": "rocket", "sailboat": "sailboat",
    "car": "automobile", "bus": "bus", "star": "star", "heart": "red-heart", "sun": "sun", "moon": "crescent-moon",
    "rainbow": "rainbow", "cloud": "cloud", "snowman": "snowman", "fire": "fire", "pizza": "pizza",
    "hamburger": "hamburger", "doughnut": "doughnut", "cake": "birthday-cake", "cookie": "cookie",
    "alien": "alien", "ghost": "ghost", "robot": "robot", "skull": "skull", "umbrella": "umbrella",
    "key": "key", "bell": "bell", "guitar": "guitar", "balloon": "balloon", "crown": "crown",
    "sunflower": "sunflower", "rose": "rose", "anchor": "anchor", "eye": "eye",
}  # fmt: skip
