"""The terminal program. The only code that imports textual; imports no model library, ever."""
