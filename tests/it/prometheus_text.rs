//! The parser of the Prometheus text format rejects malformed text; the tests of metrics rely on it.

use crate::support::prometheus_text::Scrape;

#[test]
#[should_panic(expected = "no type of a")]
fn family_without_a_type_is_rejected() {
    Scrape::parse("# HELP a What.\na 1\n");
}

#[test]
#[should_panic(expected = "twice")]
fn duplicate_sample_is_rejected() {
    Scrape::parse("# HELP a What.\n# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n");
}

#[test]
#[should_panic(expected = "not the beginning of a family")]
fn sample_without_a_family_is_rejected() {
    Scrape::parse("a 1\n");
}

#[test]
#[should_panic]
fn histogram_whose_buckets_shrink_is_rejected() {
    Scrape::parse(
        "# HELP a What.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n\
         a_sum 1\na_count 1\n",
    );
}

#[test]
fn well_formed_text_is_parsed() {
    let scrape = Scrape::parse(
        "# HELP a What.\n# TYPE a gauge\na{b=\"\\\\ \\\"\\n}, \"} 0.5\n\
         # HELP h What.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\n\
         h_sum 3\nh_count 2\n",
    );
    assert_eq!(scrape.labelled("a", "b", "\\ \"\n}, "), 0.5);
    assert_eq!(scrape.labelled("h_bucket", "le", "0.1"), 1.0);
}
