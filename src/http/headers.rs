//! The header fields of a request.

/// All header fields of one request, in their order. The text lies in one allocation.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    text: String,
    fields: Vec<Field>,
}

/// Where a field lies in the text: its name up to `value`, its value up to `end`. A head is at
/// most 16 KiB, so that 16 bits suffice.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: u16,
    value: u16,
    end: u16,
}

impl Headers {
    /// Copies the fields that httparse found. Bytes outside ASCII, which no value that the server
    /// reads may have, become `?`.
    pub fn of(parsed: &[httparse::Header<'_>]) -> Headers {
        let sizes = parsed
            .iter()
            .map(|field| field.name.len() + field.value.len());
        let mut headers = Headers {
            text: String::with_capacity(sizes.sum()),
            fields: Vec::with_capacity(parsed.len()),
        };
        for field in parsed {
            headers.push(field.name, field.value.trim_ascii());
        }
        headers
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        let start = self.end();
        self.text.push_str(name);
        let middle = self.end();
        let ascii = |byte: &u8| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                '?'
            }
        };
        match std::str::from_utf8(value) {
            Ok(text) if text.is_ascii() => self.text.push_str(text),
            _ => self.text.extend(value.iter().map(ascii)),
        }
        self.fields.push(Field {
            name: start,
            value: middle,
            end: self.end(),
        });
    }

    fn end(&self) -> u16 {
        u16::try_from(self.text.len()).expect("a head is at most 16 KiB")
    }

    /// Every value of a field, in order; names are compared without case (RFC 9110 §5.1).
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |field| {
            let own = &self.text[usize::from(field.name)..usize::from(field.value)];
            own.eq_ignore_ascii_case(name)
        });
        named.map(|field| &self.text[usize::from(field.value)..usize::from(field.end)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_field_can_be_asked_for() {
        let field = |name, value| httparse::Header { name, value };
        let headers = Headers::of(&[
            field("Accept", b" text/html "),
            field("X-A", b"1"),
            field("accept", b"na\xc3\xafve"),
            field("Empty", b""),
        ]);
        let values = |name| headers.values(name).collect::<Vec<_>>();
        assert_eq!(values("ACCEPT"), ["text/html", "na??ve"]);
        assert_eq!(values("x-a"), ["1"]);
        assert_eq!(values("Empty"), [""]);
        assert!(values("X").is_empty());
    }
}
