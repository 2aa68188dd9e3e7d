;; Returns the verdict that the sub code encodes. Without a sub code, every failure is transient.
;; shell: retry
;; expect: verdict
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
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
  (func (export "classify") (param $failure i32) (result i32)
    (if (result i32) (i32.load8_u offset=48 (local.get $failure))
      (then (call $decode (i32.load offset=52 (local.get $failure)) (i32.load offset=56 (local.get $failure))))
      (else (i32.const 64)))))
