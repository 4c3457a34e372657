"""A model card as a Markdown parser sees it, and a text that no card may take for markup."""

from html.parser import HTMLParser

import yaml
from markdown_it import MarkdownIt

HOSTILE = "a|b *c* `d` <script>e</script> [f](g) __h__ # ![i](j) \\| &amp; snake_case ~~k~~"


class Parsed(HTMLParser):
    """Headings, paragraphs, tables as lists of rows, blocks of code, and pictures of a rendered card."""

    def __init__(self, card):
        super().__init__()
        head, _, body = card.removeprefix("---\n").partition("\n---\n")
        self.head = yaml.safe_load(head)
        self.texts, self.tables, self.pictures, self.tags = [], [], [], set()
        self.feed(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body))

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("h1", "h2", "h3", "p", "code"):
            self.texts.append((tag, ""))
        elif tag == "img":
            self.pictures.append(dict(attrs)["src"])
        self.inside_cell = tag in ("td", "th")

    def handle_data(self, data):
        if self.inside_cell:
            self.tables[-1][-1][-1] += data
        elif self.texts:
            self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)

    def handle_endtag(self, tag):
        self.inside_cell = self.inside_cell and tag not in ("td", "th")

    def text_of(self, *tags):
        return [text.strip() for tag, text in self.texts if tag in tags]

    @property
    def cells(self):
        return {row[0]: row[1:] for table in self.tables for row in table}
