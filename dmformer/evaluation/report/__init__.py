"""The report: measurements and changed answers as one page, and as Markdown and CSV."""
