//! Text as roff source (groff(7), groff_char(7)): all of it ASCII, none of it a request.

/// Escapes whole lines; each ends with a line break.
pub fn lines(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}{}\n", protection(line), inline(line)))
        .collect()
}

/// Escapes a piece of a line.
pub fn inline(text: &str) -> String {
    text.chars().map(escaped).collect()
}

/// Escapes a text that is the argument of a macro.
pub fn argument(text: &str) -> String {
    format!("\"{}\"", inline(text).replace('"', "\\(dq"))
}

/// A page of the manual as another page names it.
pub fn reference(name: &str) -> String {
    format!("\\fBbifrost\\-{}\\fR(7)", inline(name))
}

/// What goes before a line that would be taken for a request. (`'` is escaped anywhere.)
pub fn protection(line: &str) -> &'static str {
    if line.starts_with('.') { "\\&" } else { "" }
}

/// `-` and the other four have to be escaped to be printed as ASCII, so that they can be
/// copied into a shell.
fn escaped(c: char) -> String {
    match c {
        '\\' => "\\e".into(),
        '-' => "\\-".into(),
        '\'' => "\\(aq".into(),
        '^' => "\\(ha".into(),
        '~' => "\\(ti".into(),
        '`' => "\\(ga".into(),
        c if c.is_ascii() => c.into(),
        c => format!("\\[u{:04X}]", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        assert_eq!(lines(".a\n'b\\…"), "\\&.a\n\\(aqb\\e\\[u2026]\n");
        assert_eq!(inline("~/.config"), "\\(ti/.config");
        assert_eq!(argument("a \"b\""), "\"a \\(dqb\\(dq\"");
    }
}
