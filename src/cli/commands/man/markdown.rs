//! A page of the manual as a man page of section 7: Markdown in, man(7) macros out. It runs
//! while the program is built, in `build.rs`, and in its tests.
//!
//! The headings become sections. A table's rows become paragraphs under their first cell: a
//! table that wraps at 80 columns is hard to read, and needs tbl(1).

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::roff;

/// Inline code from this length on may be broken after a comma or a slash.
const LONG_CODE: usize = 30;

/// The man page made from a page of the manual; `names` are those of all its pages.
pub fn page(name: &str, names: &[String], markdown: &str) -> String {
    let mut writer = Writer::new(name, names);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        writer.event(event);
    }
    writer.flush();
    let others = names.iter().filter(|other| *other != name);
    let others: String = others
        .map(|other| format!(",\n{}", roff::reference(other)))
        .collect();
    format!("{}.SH SEE ALSO\n\\fBbifrost\\fR(1){others}\n", writer.out)
}

/// Turns one event after the other into macros and text.
struct Writer<'a> {
    page: &'a str,
    /// The names of all pages, for links.
    names: &'a [String],
    out: String,
    /// The paragraph, table cell or code block that is being read, as roff source.
    text: String,
    /// The heading that is being read, as it is written.
    heading: Option<String>,
    /// The macro before the next paragraph, if not the usual one.
    macro_before: Option<String>,
    /// How many open elements ask for bold.
    bold: usize,
    is_code: bool,
    /// The number of the next item of each open list; none where items have bullets.
    lists: Vec<Option<u64>>,
    /// Where each open link leads, and where in the text it begins.
    links: Vec<(String, usize)>,
    is_head: bool,
    /// The cells of a table's head.
    head: Vec<String>,
    /// The cells of the row that is being read.
    row: Vec<String>,
}

impl<'a> Writer<'a> {
    fn new(page: &'a str, names: &'a [String]) -> Writer<'a> {
        let title = format!("BIFROST-{}", page.to_uppercase());
        let version = concat!("bifrost ", env!("CARGO_PKG_VERSION"));
        // Flush left and without hyphenation: most long words are code. No date: it would be
        // that of the build.
        let out = format!(
            ".TH {} 7 \"\" {} \"Bifrost Manual\"\n.nh\n.ad l\n",
            roff::argument(&title),
            roff::argument(version)
        );
        Writer {
            page,
            names,
            out,
            text: String::new(),
            heading: None,
            macro_before: None,
            bold: 0,
            is_code: false,
            lists: Vec::new(),
            links: Vec::new(),
            is_head: false,
            head: Vec::new(),
            row: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.is_code => self.text += &roff::lines(&text),
            Event::Text(text) | Event::InlineHtml(text) => self.push(&text),
            Event::Code(code) => self.code(&code),
            Event::SoftBreak => self.text += "\n",
            Event::HardBreak => self.text += "\n.br\n",
            _ => {} // comments, rules
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.flush();
                self.heading = Some(String::new());
            }
            Tag::List(first) => {
                self.flush();
                if !self.lists.is_empty() {
                    self.out += ".RS 2\n";
                }
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::CodeBlock(_) => {
                self.flush();
                self.is_code = true;
            }
            Tag::TableHead => self.is_head = true,
            Tag::TableCell if self.is_head => self.text += "\\fI",
            Tag::TableCell if self.row.is_empty() => self.start_bold(),
            Tag::Strong => self.start_bold(),
            Tag::Emphasis => self.text += "\\fI",
            Tag::Link { dest_url, .. } => self.links.push((dest_url.into(), self.text.len())),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.out += ".RE\n";
                }
            }
            TagEnd::CodeBlock => self.end_code_block(),
            TagEnd::TableCell => self.end_cell(),
            TagEnd::TableHead => self.end_table_head(),
            TagEnd::TableRow => self.end_table_row(),
            TagEnd::Strong => self.end_bold(),
            TagEnd::Emphasis => self.text += "\\fR",
            TagEnd::Link => self.end_link(),
            _ => {}
        }
    }

    /// Text of a heading or a paragraph.
    fn push(&mut self, text: &str) {
        if let Some(heading) = &mut self.heading {
            *heading += text;
            return;
        }
        if self.text.is_empty() || self.text.ends_with('\n') {
            self.text += roff::protection(text);
        }
        self.text += &roff::inline(text);
    }

    fn code(&mut self, code: &str) {
        if self.heading.is_some() {
            return self.push(code);
        }
        let mut escaped = roff::inline(code);
        if code.len() >= LONG_CODE {
            escaped = escaped.replace(',', ",\\:").replace('/', "/\\:");
        }
        self.start_bold();
        self.text += &escaped;
        self.end_bold();
    }

    fn start_bold(&mut self) {
        if self.bold == 0 {
            self.text += "\\fB";
        }
        self.bold += 1;
    }

    fn end_bold(&mut self) {
        self.bold -= 1;
        if self.bold == 0 {
            self.text += "\\fR";
        }
    }

    /// Writes the paragraph that has been read.
    fn flush(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return;
        }
        let usual = if self.lists.is_empty() {
            ".PP\n"
        } else {
            ".IP \"\" 2\n"
        };
        self.out += &self.macro_before.take().unwrap_or_else(|| usual.into());
        self.out += text.trim_end();
        self.out += "\n";
    }

    fn start_item(&mut self) {
        let number = self.lists.last_mut().and_then(Option::as_mut);
        self.macro_before = Some(match number {
            None => ".IP \\(bu 2\n".into(),
            Some(number) => {
                *number += 1;
                format!(".IP {}. 4\n", *number - 1)
            }
        });
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let heading = self.heading.take().unwrap_or_default();
        self.out += &match level {
            HeadingLevel::H1 => {
                let (name, about) = heading.split_once(": ").unwrap_or((&heading, ""));
                let (name, about) = (roff::inline(name), roff::inline(about));
                format!(".SH NAME\n{name} \\- {about}\n.SH DESCRIPTION\n")
            }
            HeadingLevel::H2 => format!(".SH {}\n", roff::argument(&heading.to_uppercase())),
            _ => format!(".SS {}\n", roff::argument(&heading)),
        };
        // A heading makes a paragraph by itself.
        self.macro_before = Some(String::new());
    }

    fn end_code_block(&mut self) {
        self.is_code = false;
        self.macro_before = None;
        let indent = if self.lists.is_empty() { 4 } else { 6 };
        let code = std::mem::take(&mut self.text);
        self.out += &format!(".PP\n.RS {indent}\n.nf\n{code}.fi\n.RE\n");
    }

    fn end_cell(&mut self) {
        if self.is_head {
            self.text += "\\fR";
        } else if self.row.is_empty() {
            self.end_bold();
        }
        self.row.push(std::mem::take(&mut self.text));
    }

    /// The head of a table with two columns stands above them; of a wider table, each cell
    /// gets its column's head.
    fn end_table_head(&mut self) {
        (self.macro_before, self.is_head) = (None, false);
        self.head = std::mem::take(&mut self.row);
        self.out += &match &self.head[..] {
            [first, second] => format!(".TP\n{first}\n{second}\n"),
            [first, ..] => format!(".PP\n{first}\n"),
            [] => String::new(),
        };
    }

    fn end_table_row(&mut self) {
        let row = std::mem::take(&mut self.row);
        let Some((first, others)) = row.split_first() else {
            return;
        };
        self.out += &format!(".TP\n{first}\n");
        if let [second] = others {
            self.out += &format!("{}{second}\n", roff::protection(second));
            return;
        }
        let columns = self.head.iter().skip(1).zip(others);
        let cells: Vec<String> = columns
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(head, cell)| format!("{head}: {cell}\n"))
            .collect();
        self.out += &cells.join(".br\n");
    }

    /// Names the page that a link leads to; a link within the page is its text alone.
    fn end_link(&mut self) {
        let Some((target, start)) = self.links.pop() else {
            return;
        };
        let file = target.split('#').next().unwrap_or_default();
        let page = file
            .strip_suffix(".md")
            .filter(|page| self.names.iter().any(|name| name == page));
        let label = self.text[start..].to_owned();
        match page {
            Some(page) if page == self.page => {}
            Some(page) if label == roff::inline(page) => {
                self.text.truncate(start);
                self.text += &roff::reference(page);
            }
            Some(page) => self.text += &format!(" (see {})", roff::reference(page)),
            None if target.contains("://") && label != roff::inline(&target) => {
                self.text += &format!(" ({})", roff::inline(&target));
            }
            None => {}
        }
    }
}
