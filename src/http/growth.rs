//! How the buffers of a request grow: by doubling, as vectors do, but never past what the request
//! can need, and by amounts that are known before.

/// The first size of a buffer, in bytes, unless it will need less.
const FIRST: usize = 2 * 1024;

/// The capacity of a buffer that takes `more` bytes, and in the end `most` or fewer.
fn grown(buffer: &Vec<u8>, more: usize, most: usize) -> usize {
    let needed = buffer.len() + more;
    if needed <= buffer.capacity() {
        return buffer.capacity();
    }
    let generous = FIRST.max(2 * buffer.capacity()).min(most);
    needed.max(generous)
}

/// Makes room for `more` bytes.
pub fn reserve(buffer: &mut Vec<u8>, more: usize, most: usize) {
    buffer.reserve_exact(grown(buffer, more, most) - buffer.len());
}

/// What [`reserve`] takes at its peak, in bytes: while a buffer grows, the old one is there too.
pub fn peak(buffer: &Vec<u8>, more: usize, most: usize) -> usize {
    match (buffer.capacity(), grown(buffer, more, most)) {
        (old, new) if new > old => old + new,
        (same, _) => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_doubles_up_to_what_it_can_need() {
        let (mut buffer, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let (old, peak) = (buffer.capacity(), peak(&buffer, 1000, 9_500));
            reserve(&mut buffer, 1000, 9_500);
            let grew = buffer.capacity() > old;
            assert_eq!(peak, buffer.capacity() + if grew { old } else { 0 });
            buffer.resize(buffer.len() + 1000, 0);
            sizes.push(buffer.capacity());
        }
        sizes.dedup();
        assert_eq!(sizes, [2048, 4096, 8192, 9_500]);
    }

    #[test]
    fn a_short_buffer_takes_what_it_needs() {
        let mut buffer = Vec::new();
        reserve(&mut buffer, 10, 100);
        assert_eq!((buffer.capacity(), peak(&buffer, 100, 100)), (100, 100));
    }
}
