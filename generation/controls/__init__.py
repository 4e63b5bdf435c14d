"""Control of a render by pictures: networks are found by `nets`, asked at each step by `steering`, hung on by `attach`.

What makes a condition of a picture is `preprocessors`.
"""
