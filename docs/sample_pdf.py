"""Makes the sample PDF, assistant/samples/guides/composition.pdf, from the text below. Needs fpdf2.

python docs/sample_pdf.py
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from fpdf import FPDF

TARGET = Path(__file__).parent.parent / "assistant" / "samples" / "guides" / "composition.pdf"
PAGES = (
    (
        "Composition for generated pictures",
        "A picture needs one place where the eye lands first. Contrast makes that place: the lightest "
        "spot in a dark frame, the sharpest edge in a soft one, the only warm colour among cool ones.",
        "The rule of thirds puts the subject a third from an edge. In a prompt it is said best by naming "
        "the place: a lighthouse on the left, open sea on the right. Models follow a named place more "
        "often than the phrase 'rule of thirds'.",
        "Negative space is the empty part that lets a subject breathe. Ask for it with 'plain background' "
        "or 'wide empty sky'; a poster needs it where the title will stand.",
    ),
    (
        "Working in series",
        "A series holds together when one thing never changes. Choose the lens, the light or the palette, "
        "write it at the end of every prompt in the same words, and keep the seed for frames that follow "
        "each other.",
        "Keep a log of what failed. A line such as 'CFG 12 burned the highlights' saves an evening later. "
        "Atelier writes such a log of every render by itself, and the library searches it.",
        "Before printing, enlarge by a factor of four with an upscaler and look at the picture at arm's "
        "length: 300 dots per inch are needed for a book, 150 for a poster.",
    ),
)


def main() -> None:
    """Write the PDF with a fixed date, so that the file is the same each time."""
    pdf = FPDF()
    pdf.set_title("Composition for generated pictures")
    pdf.set_author("The Atelier authors")
    pdf.set_creation_date(datetime(2024, 1, 1, tzinfo=UTC))
    for title, *paragraphs in PAGES:
        pdf.add_page()
        pdf.set_font("Helvetica", "B", 18)
        pdf.multi_cell(0, 12, title, new_x="LMARGIN", new_y="NEXT")
        pdf.set_font("Helvetica", size=12)
        for paragraph in paragraphs:
            pdf.ln(3)
            pdf.multi_cell(0, 7, paragraph, new_x="LMARGIN", new_y="NEXT")
    pdf.output(str(TARGET))


if __name__ == "__main__":
    main()
