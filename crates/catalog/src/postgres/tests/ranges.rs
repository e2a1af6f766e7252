//! A range of keys is the same rows as columns: for keys of every table and bounds of any kind.

use proptest::prelude::*;

use super::super::tables::{ALL, Range, Table, Value};
use crate::rows::keys::{after, end_of};

/// What the database makes of a range.
fn holds(range: &Range, values: &[Value]) -> bool {
    let order = |a: &Value, b: &Value| match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        _ => panic!("columns of two kinds"),
    };
    let compare = |bound: &[Value]| {
        let rest = &values[range.equal.len()..];
        let each = rest.iter().zip(bound).map(|(value, bound)| order(value, bound));
        each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    };
    let above = range.from.as_ref().is_none_or(|(bound, inclusive)| {
        let order = compare(bound);
        order.is_gt() || *inclusive && order.is_eq()
    });
    let below = range.below.as_ref().is_none_or(|(bound, inclusive)| {
        let order = compare(bound);
        order.is_lt() || *inclusive && order.is_eq()
    });
    values.starts_with(&range.equal) && above && below
}

/// A key of a table from anything: few different bytes, so that keys meet.
fn key(table: &Table, from: &[u8]) -> Option<Vec<u8>> {
    (1..=from.len()).rev().find_map(|end| {
        let mut key: Vec<u8> = table.join(&[]);
        key.extend_from_slice(&from[..end]);
        table.split(&key).map(|_| key)
    })
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0_u8), 2 => Just(1_u8), 1 => Just(0xff_u8), 1 => Just(b'n'), 1 => Just(b'a')];
    prop::collection::vec(byte, 48)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranges_of_keys_are_ranges_of_rows(
        table in 0..ALL.len(), keys in prop::collection::vec(bytes(), 2..12), shape in 0..6_usize, cut in 0..40_usize,
    ) {
        let table = ALL[table];
        let mut keys: Vec<Vec<u8>> = keys.iter().filter_map(|from| key(table, from)).collect();
        keys.sort();
        prop_assume!(keys.len() >= 2);
        let (low, high) = (keys[0].clone(), keys[keys.len() - 1].clone());
        let prefix = keys[keys.len() / 2][..cut.clamp(1, low.len().min(keys[keys.len() / 2].len()))].to_vec();
        let (from, below) = match shape {
            0 => (low, high),
            1 => (after(low), after(high)),
            2 => (prefix.clone(), end_of(&prefix)),
            3 => (keys[keys.len() / 2].clone(), end_of(&prefix)),
            4 => (Vec::new(), vec![u8::MAX; 64]),
            _ => (after(keys[keys.len() / 2].clone()), end_of(&prefix)),
        };
        let range = table.range(&from, &below);
        for key in &keys {
            let values = table.split(key).unwrap();
            prop_assert_eq!(&table.join(&values), key);
            let expected = *key >= from && *key < below;
            let found = range.as_ref().is_some_and(|range| holds(range, &values));
            prop_assert_eq!(found, expected, "{}: {:?} in {:?}..{:?}: {:?}", table.name, key, from, below, range);
        }
    }
}

#[test]
fn what_is_asked_is_short() {
    let listing = super::super::tables::of(crate::rows::keys::Family::Numbers, b"").unwrap();
    let (account, dir) = (model::AccountId(1), model::DirId(2));
    let from = crate::rows::keys::number(account, dir, model::Kind::File, 7);
    let below = end_of(&crate::rows::keys::rows(account, dir, model::Kind::File));
    let range = listing.range(&from, &below).unwrap();
    let equal = [1, 2, 2].map(Value::Int).to_vec();
    assert_eq!(range, Range { equal, from: Some((vec![Value::Int(7)], true)), below: None });
}
