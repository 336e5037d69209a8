//! The build script: turns the manual's pages, `src/manual/*.md`, into man pages that the binary
//! carries. Done while building, so that the binary needs no parser of Markdown.

#[path = "../cli/commands/man/markdown.rs"]
mod markdown;
#[path = "../cli/commands/man/roff.rs"]
mod roff;

use std::error::Error;
use std::path::Path;
use std::{env, fs};

const FOLDER: &str = "src/manual";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={FOLDER}");
    let mut names = Vec::new();
    for entry in fs::read_dir(FOLDER)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.filter(|_| path.extension().is_some_and(|extension| extension == "md"));
        names.extend(name.map(str::to_owned));
    }
    names.sort();
    // An array of pairs, for `include!`.
    let mut pages = String::from("[\n");
    for name in &names {
        let text = fs::read_to_string(Path::new(FOLDER).join(name).with_extension("md"))?;
        let page = markdown::page(name, &names, &text);
        pages += &format!("    ({name:?}, {page:?}),\n");
    }
    pages += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), pages)?;
    Ok(())
}
