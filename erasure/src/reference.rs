//! The code written as slowly and plainly as possible, for tests: the shipped coder is checked against it, never the other way round.
//!
//! Nothing here is shared with the coder but the definition: GF(2⁸) modulo x⁸+x⁴+x³+x²+1, generator rows `r^c` for the shards
//! `r` and the data shards `c`, multiplied with the inverse of their top square, so that the data shards come out as they are.

use crate::Scheme;

type Matrix = Vec<Vec<u8>>;

fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        let overflows = a & 0x80 != 0;
        a <<= 1;
        if overflows {
            a ^= 0x1d;
        }
        b >>= 1;
    }
    product
}

fn power(base: u8, exponent: usize) -> u8 {
    (0..exponent).fold(1, |product, _| multiply(product, base))
}

fn inverse(a: u8) -> u8 {
    (1..=255).find(|&b| multiply(a, b) == 1).unwrap()
}

fn product(left: &Matrix, right: &Matrix) -> Matrix {
    left.iter()
        .map(|row| {
            (0..right[0].len())
                .map(|column| {
                    row.iter()
                        .zip(right)
                        .fold(0, |sum, (&a, below)| sum ^ multiply(a, below[column]))
                })
                .collect()
        })
        .collect()
}

/// Gauss and Jordan's elimination on the matrix with the identity beside it.
fn inverted(square: &Matrix) -> Matrix {
    let size = square.len();
    let mut rows: Matrix = square
        .iter()
        .enumerate()
        .map(|(place, row)| {
            let identity = (0..size).map(|column| u8::from(column == place));
            row.iter().copied().chain(identity).collect()
        })
        .collect();
    for column in 0..size {
        let pivot = (column..size).find(|&row| rows[row][column] != 0).unwrap();
        rows.swap(column, pivot);
        let scale = inverse(rows[column][column]);
        for value in &mut rows[column] {
            *value = multiply(*value, scale);
        }
        let pivot_row = rows[column].clone();
        for (place, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if place != column && factor != 0 {
                for (value, &above) in row.iter_mut().zip(&pivot_row) {
                    *value ^= multiply(factor, above);
                }
            }
        }
    }
    rows.into_iter().map(|row| row[size..].to_vec()).collect()
}

fn generator(scheme: Scheme) -> Matrix {
    let data = usize::from(scheme.data());
    let vandermonde: Matrix = (0..scheme.total())
        .map(|row| (0..data).map(|column| power(row, column)).collect())
        .collect();
    product(&vandermonde, &inverted(&vandermonde[..data].to_vec()))
}

fn data_of(scheme: Scheme, pack: &[u8]) -> Matrix {
    let data = usize::from(scheme.data());
    let shard_len = pack.len().div_ceil(data);
    let mut padded = pack.to_vec();
    padded.resize(shard_len * data, 0);
    padded.chunks(shard_len).map(<[u8]>::to_vec).collect()
}

/// The parity shards of a pack that is not empty.
pub(crate) fn parity_of(scheme: Scheme, pack: &[u8]) -> Vec<Vec<u8>> {
    let rows = generator(scheme).split_off(usize::from(scheme.data()));
    product(&rows, &data_of(scheme, pack))
}

/// The data shards from exactly `data` shards with their places.
pub(crate) fn decode(scheme: Scheme, survivors: &[(usize, &[u8])]) -> Vec<Vec<u8>> {
    let generator = generator(scheme);
    let rows: Matrix = survivors
        .iter()
        .map(|&(place, _)| generator[place].clone())
        .collect();
    let shards: Matrix = survivors.iter().map(|&(_, shard)| shard.to_vec()).collect();
    product(&inverted(&rows), &shards)
}
