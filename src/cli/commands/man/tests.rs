//! What each element of Markdown becomes, and that every page of the manual is a man page.

use super::markdown::page;
use crate::cli::manual;

/// The page without what every page has.
fn body(markdown: &str) -> String {
    let names = ["operating", "protocol", "security"].map(String::from);
    let page = page("protocol", &names, markdown);
    let start = page.find(".ad l\n").unwrap() + ".ad l\n".len();
    let end = page.find(".SH SEE ALSO\n").unwrap();
    page[start..end].into()
}

/// The text outside code blocks.
fn prose(page: &str) -> Vec<&str> {
    let mut is_code = false;
    page.lines()
        .filter(|line| {
            is_code = *line == ".nf" || is_code && *line != ".fi";
            !is_code
        })
        .collect()
}

#[test]
fn headings_are_sections() {
    assert_eq!(
        body(
            "# bifrost-protocol: what is said\n\nText.\n\n## The `log`\n\n### A \"b\"\n\nMore.\n\nAgain."
        ),
        ".SH NAME\nbifrost\\-protocol \\- what is said\n.SH DESCRIPTION\nText.\n\
         .SH \"THE LOG\"\n.SS \"A \\(dqb\\(dq\"\nMore.\n.PP\nAgain.\n"
    );
}

#[test]
fn text_is_marked_and_escaped() {
    assert_eq!(
        body("**`--a`** is *new*:\n.env, `it's`"),
        ".PP\n\\fB\\-\\-a\\fR is \\fInew\\fR:\n\\&.env, \\fBit\\(aqs\\fR\n"
    );
}

#[test]
fn lists_are_indented_paragraphs() {
    assert_eq!(
        body("- one\n  - two\n- three\n\n1. first\n2. second"),
        ".IP \\(bu 2\none\n.RS 2\n.IP \\(bu 2\ntwo\n.RE\n.IP \\(bu 2\nthree\n\
         .IP 1. 4\nfirst\n.IP 2. 4\nsecond\n"
    );
    assert_eq!(
        body("- one\n\n  more\n\n      code"),
        ".IP \\(bu 2\none\n.IP \"\" 2\nmore\n.PP\n.RS 6\n.nf\ncode\n.fi\n.RE\n"
    );
}

#[test]
fn code_keeps_its_lines() {
    assert_eq!(
        body("```sh\n.a\n\nb \\\n```"),
        ".PP\n.RS 4\n.nf\n\\&.a\n\nb \\e\n.fi\n.RE\n"
    );
}

#[test]
fn rows_of_a_table_are_tagged_paragraphs() {
    assert_eq!(
        body("| a | b |\n| --- | --- |\n| `x` | y `\\|` z |"),
        ".TP\n\\fIa\\fR\n\\fIb\\fR\n.TP\n\\fBx\\fR\ny \\fB|\\fR z\n"
    );
    assert_eq!(
        body("| a | b | c |\n| --- | --- | --- |\n| x | y | z |\n| v | | w |"),
        ".PP\n\\fIa\\fR\n.TP\n\\fBx\\fR\n\\fIb\\fR: y\n.br\n\\fIc\\fR: z\n\
         .TP\n\\fBv\\fR\n\\fIc\\fR: w\n"
    );
}

#[test]
fn links_name_their_page() {
    assert_eq!(
        body(
            "See [security](security.md), [the log](operating.md#the-log), [codes](#codes),\n\
             [here](protocol.md#x), [Rust](https://rustup.rs)."
        ),
        ".PP\nSee \\fBbifrost\\-security\\fR(7), the log (see \\fBbifrost\\-operating\\fR(7)), \
         codes,\nhere, Rust (https://rustup.rs).\n"
    );
}

#[test]
fn every_page_converts() {
    for (name, page) in manual::PAGES {
        assert!(page.is_ascii(), "{name}");
        let title = format!("\n.SH NAME\nbifrost\\-{name} \\- ");
        assert!(page.contains(&title), "{name}");
        for line in prose(page) {
            let is_raw = ["**", "](", "\\(ga", "<!--"]
                .iter()
                .any(|mark| line.contains(mark))
                || ["#", "|", "\\-\\-\\- "]
                    .iter()
                    .any(|mark| line.starts_with(mark));
            assert!(!is_raw, "{name}: {line}");
        }
    }
}
