;; Grows a table until it gets no more entries, and then traps.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 1 funcref)
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (loop $more
          (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))
        (unreachable)))
    (i32.const 64)))
