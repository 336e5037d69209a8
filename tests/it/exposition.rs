//! Whether the reader of metrics notices what is wrong: the tests of metrics rest on it.

use crate::support::exposition::Scrape;

#[test]
#[should_panic(expected = "no type of a")]
fn a_family_without_a_type_is_noticed() {
    Scrape::parse("# HELP a What.\na 1\n");
}

#[test]
#[should_panic(expected = "twice")]
fn a_sample_that_is_there_twice_is_noticed() {
    Scrape::parse("# HELP a What.\n# TYPE a gauge\na{b=\"1\"} 1\na{b=\"1\"} 2\n");
}

#[test]
#[should_panic(expected = "not the beginning of a family")]
fn a_sample_without_a_family_is_noticed() {
    Scrape::parse("a 1\n");
}

#[test]
#[should_panic]
fn a_histogram_whose_buckets_shrink_is_noticed() {
    Scrape::parse(
        "# HELP a What.\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n\
         a_sum 1\na_count 1\n",
    );
}

#[test]
fn what_is_written_well_is_read() {
    let scrape = Scrape::parse(
        "# HELP a What.\n# TYPE a gauge\na{b=\"\\\\ \\\"\\n}, \"} 0.5\n\
         # HELP h What.\n# TYPE h histogram\nh_bucket{le=\"0.1\"} 1\nh_bucket{le=\"+Inf\"} 2\n\
         h_sum 3\nh_count 2\n",
    );
    assert_eq!(scrape.labelled("a", "b", "\\ \"\n}, "), 0.5);
    assert_eq!(scrape.labelled("h_bucket", "le", "0.1"), 1.0);
}
