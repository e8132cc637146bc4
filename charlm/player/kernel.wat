;; Matrix times vector with 128-bit SIMD: the products of a network, one character at a time.
;;
;; A matrix lies row by row; four rows are multiplied at once, so that each part of the vector is loaded once for four.
;; Rows come in multiples of 4, columns in multiples of 4 (floats) or 8 (bytes): the player pads with zeros.
;; Build: wat2wasm kernel.wat -o kernel.wasm
(module
  (memory (export "memory") 1)

  ;; float32 weights and inputs, float32 results
  (func (export "multiplyFloats")
    (param $weights i32) (param $input i32) (param $output i32) (param $rows i32) (param $columns i32)
    (local $stride i32) (local $at i32) (local $end i32) (local $x v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local.set $stride (i32.shl (local.get $columns) (i32.const 2)))
    (local.set $end (i32.add (local.get $input) (local.get $stride)))
    (loop $four_rows
      (local.set $a (v128.const i32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (local.set $at (local.get $input))
      (loop $along
        (local.set $x (v128.load (local.get $at)))
        (local.set $a (f32x4.add (local.get $a) (f32x4.mul (local.get $x) (v128.load (local.get $weights)))))
        (local.set $b (f32x4.add (local.get $b) (f32x4.mul (local.get $x)
          (v128.load (i32.add (local.get $weights) (local.get $stride))))))
        (local.set $c (f32x4.add (local.get $c) (f32x4.mul (local.get $x)
          (v128.load (i32.add (local.get $weights) (i32.shl (local.get $stride) (i32.const 1)))))))
        (local.set $d (f32x4.add (local.get $d) (f32x4.mul (local.get $x)
          (v128.load (i32.add (local.get $weights) (i32.mul (local.get $stride) (i32.const 3)))))))
        (local.set $weights (i32.add (local.get $weights) (i32.const 16)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $along (i32.lt_u (local.get $at) (local.get $end))))
      ;; add up the four lanes of each sum: results of four rows in one vector
      (local.set $a (f32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $a) (local.get $b))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
      (local.set $c (f32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $c) (local.get $d))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
      (v128.store (local.get $output) (f32x4.add
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c))))
      (local.set $weights (i32.add (local.get $weights) (i32.mul (local.get $stride) (i32.const 3))))
      (local.set $output (i32.add (local.get $output) (i32.const 16)))
      (br_if $four_rows (local.tee $rows (i32.sub (local.get $rows) (i32.const 4))))))

  ;; int8 weights with a scale for each row, float32 inputs and results: a quarter of the memory to read, and two
  ;; products an instruction. Inputs become whole numbers of 16 bits, the largest of them $finest.
  (func (export "multiplyBytes")
    (param $weights i32) (param $input i32) (param $output i32) (param $rows i32) (param $columns i32)
    (param $scales i32) (param $whole i32) (param $finest f32)
    (local $at i32) (local $to i32) (local $end i32) (local $largest f32) (local $x v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    ;; the largest input
    (local.set $end (i32.add (local.get $input) (i32.shl (local.get $columns) (i32.const 2))))
    (local.set $at (local.get $input))
    (loop $along
      (local.set $x (f32x4.max (local.get $x) (f32x4.abs (v128.load (local.get $at)))))
      (br_if $along (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))
    (local.set $largest (f32.max
      (f32.max (f32.const 1e-30) (f32.max (f32x4.extract_lane 0 (local.get $x)) (f32x4.extract_lane 1 (local.get $x))))
      (f32.max (f32x4.extract_lane 2 (local.get $x)) (f32x4.extract_lane 3 (local.get $x)))))
    ;; inputs as whole numbers
    (local.set $x (f32x4.splat (f32.div (local.get $finest) (local.get $largest))))
    (local.set $at (local.get $input))
    (local.set $to (local.get $whole))
    (loop $along
      (v128.store (local.get $to) (i16x8.narrow_i32x4_s
        (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $x) (v128.load (local.get $at)))))
        (i32x4.trunc_sat_f32x4_s (f32x4.nearest (f32x4.mul (local.get $x) (v128.load offset=16 (local.get $at)))))))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $along (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 32))) (local.get $end))))
    (local.set $end (local.get $to))
    (loop $four_rows
      (local.set $a (v128.const i32x4 0 0 0 0))
      (local.set $b (local.get $a))
      (local.set $c (local.get $a))
      (local.set $d (local.get $a))
      (local.set $at (local.get $whole))
      (loop $along
        (local.set $x (v128.load (local.get $at)))
        (local.set $a (i32x4.add (local.get $a)
          (i32x4.dot_i16x8_s (local.get $x) (v128.load8x8_s (local.get $weights)))))
        (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s (local.get $x)
          (v128.load8x8_s (i32.add (local.get $weights) (local.get $columns))))))
        (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s (local.get $x)
          (v128.load8x8_s (i32.add (local.get $weights) (i32.shl (local.get $columns) (i32.const 1)))))))
        (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s (local.get $x)
          (v128.load8x8_s (i32.add (local.get $weights) (i32.mul (local.get $columns) (i32.const 3)))))))
        (local.set $weights (i32.add (local.get $weights) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $along (i32.lt_u (local.get $at) (local.get $end))))
      (local.set $a (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $a) (local.get $b))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $a) (local.get $b))))
      (local.set $c (i32x4.add
        (i8x16.shuffle 0 1 2 3 16 17 18 19 8 9 10 11 24 25 26 27 (local.get $c) (local.get $d))
        (i8x16.shuffle 4 5 6 7 20 21 22 23 12 13 14 15 28 29 30 31 (local.get $c) (local.get $d))))
      (local.set $a (f32x4.convert_i32x4_s (i32x4.add
        (i8x16.shuffle 0 1 2 3 4 5 6 7 16 17 18 19 20 21 22 23 (local.get $a) (local.get $c))
        (i8x16.shuffle 8 9 10 11 12 13 14 15 24 25 26 27 28 29 30 31 (local.get $a) (local.get $c)))))
      (v128.store (local.get $output) (f32x4.mul (local.get $a) (f32x4.mul (v128.load (local.get $scales))
        (f32x4.splat (f32.div (local.get $largest) (local.get $finest))))))
      (local.set $scales (i32.add (local.get $scales) (i32.const 16)))
      (local.set $weights (i32.add (local.get $weights) (i32.mul (local.get $columns) (i32.const 3))))
      (local.set $output (i32.add (local.get $output) (i32.const 16)))
      (br_if $four_rows (local.tee $rows (i32.sub (local.get $rows) (i32.const 4))))))
)
