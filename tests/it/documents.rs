//! README.md and the manual quote the configurations that the end-to-end checks run.

use std::fs;
use std::path::Path;

/// A configuration file, the language of its blocks, and a line that only such a file contains.
struct Quoted {
    file: &'static str,
    text: &'static str,
    language: &'static str,
    mark: &'static str,
}

const CADDYFILE: Quoted = Quoted {
    file: "src/dist/proxy/Caddyfile",
    text: include_str!("../../src/dist/proxy/Caddyfile"),
    language: "caddyfile",
    mark: "reverse_proxy 127.0.0.1:3000 {",
};
const NGINX: Quoted = Quoted {
    file: "src/dist/proxy/nginx.conf",
    text: include_str!("../../src/dist/proxy/nginx.conf"),
    language: "nginx",
    mark: "upstream bifrost {",
};

/// README.md and every page of the manual: path and text.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("src/manual")).expect("list the pages of the manual") {
        let path = entry.expect("a page of the manual").path();
        if path.extension().is_some_and(|extension| extension == "md") {
            paths.push(path);
        }
    }
    let read = |path: &Path| fs::read_to_string(path).expect("read a document");
    paths
        .iter()
        .map(|path| (path.display().to_string(), read(path)))
        .collect()
}

/// The text between each line `opening` and the next line `closing`.
fn blocks<'a>(text: &'a str, opening: &str, closing: &str) -> Vec<&'a str> {
    let (opening, closing) = (format!("\n{opening}\n"), format!("\n{closing}\n"));
    let rest = text.split(&opening).skip(1);
    rest.map(|block| block.split_once(&closing).expect("the block has an end").0)
        .collect()
}

/// Asserts that every copy of a file in a document equals it, and that there is one.
fn expect_quoted(quoted: &Quoted) {
    let Quoted { file, text, .. } = quoted;
    let mut found = 0;
    for (path, document) in documents() {
        let mut copies = blocks(&document, &format!("```{}", quoted.language), "```");
        copies.extend(
            blocks(&document, "sudo tee /etc/caddy/Caddyfile <<'EOF'", "EOF")
                .into_iter()
                .filter(|_| quoted.language == "caddyfile"),
        );
        for copy in &copies {
            assert_eq!(*copy, text.trim_end(), "a block of {path} is not {file}");
        }
        let marks = document.matches(quoted.mark).count();
        assert_eq!(
            marks,
            copies.len(),
            "{path} has {file} in another place too"
        );
        found += copies.len();
    }
    assert!(found > 0, "no document quotes {file}");
}

#[test]
fn caddyfiles_in_the_documents_are_the_tested_one() {
    expect_quoted(&CADDYFILE);
}

#[test]
fn nginx_configurations_in_the_documents_are_the_tested_one() {
    expect_quoted(&NGINX);
}

#[test]
fn commands_for_a_new_server_write_the_tested_caddyfile() {
    let written = documents().into_iter().flat_map(|(_, text)| {
        let written = blocks(&text, "sudo tee /etc/caddy/Caddyfile <<'EOF'", "EOF");
        written.into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    assert_eq!(written.collect::<Vec<_>>(), [CADDYFILE.text.trim_end()]);
}
