//! The pages of the manual as man pages, made from `src/manual/*.md` by `build.rs`.

/// Every page: its name, and its roff source.
pub const PAGES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// The pages' names.
pub fn names() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(name, _)| *name)
}
