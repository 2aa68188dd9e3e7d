;; Returns the verdict that the endpoint name encodes. Abstains if the name has at most 6 bytes, as in the sample input.
;; shell: admit
;; expect: verdict
(core module $guest
  (import "libc" "memory" (memory 1))
  ;; Decodes bytes, each written as two letters from a to p, to address 128. Returns their first integer, which is the
  ;; address of the result.
  (func $decode (param $at i32) (param $length i32) (result i32) (local $to i32) (local $end i32)
    (local.set $to (i32.const 128))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $over
      (loop $next
        (br_if $over (i32.ge_u (local.get $at) (local.get $end)))
        (i32.store8 (local.get $to) (i32.or
          (i32.shl (i32.sub (i32.load8_u (local.get $at)) (i32.const 97)) (i32.const 4))
          (i32.sub (i32.load8_u offset=1 (local.get $at)) (i32.const 97))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $to (i32.add (local.get $to) (i32.const 1)))
        (br $next)))
    (i32.load (i32.const 128)))
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "admit") (param $platform i32) (param i32) (param $endpoint i32) (param $length i32) (param i32 i32 i64 i32 i32 i32 i32) (result i32)
    (if (result i32) (i32.gt_u (local.get $length) (i32.const 6))
      (then (call $decode (local.get $endpoint) (local.get $length)))
      (else (i32.const 64)))))
