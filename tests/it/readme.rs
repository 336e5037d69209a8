//! What the README quotes is what the end-to-end checks run.

const README: &str = include_str!("../../README.md");
const CADDYFILE: &str = include_str!("../../src/dist/proxy/Caddyfile");
const NGINX: &str = include_str!("../../src/dist/proxy/nginx.conf");

/// What stands between a line that is `opening` and the next that is `closing`.
fn quoted(opening: &str, closing: &str) -> Vec<&'static str> {
    let (opening, closing) = (format!("{opening}\n"), format!("\n{closing}\n"));
    let blocks = README.split(&opening).skip(1);
    blocks
        .map(|block| block.split_once(&closing).expect("it ends").0)
        .collect()
}

#[test]
fn proxies_of_the_readme_are_those_that_are_tested() {
    assert_eq!(quoted("```caddyfile", "```"), [CADDYFILE.trim_end()]);
    assert_eq!(quoted("```nginx", "```"), [NGINX.trim_end()]);
}

#[test]
fn caddyfile_for_a_new_server_is_the_one_that_is_tested() {
    let written = quoted("sudo tee /etc/caddy/Caddyfile <<'EOF'", "EOF");
    assert_eq!(written, [CADDYFILE.trim_end()]);
}
