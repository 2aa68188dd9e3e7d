;; Grows a table by 4,000,000,000 entries at once.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 1 funcref)
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (if (i32.eq (table.grow (ref.null func) (i32.const 4000000000)) (i32.const -1)) (then (unreachable)))))
    (i32.const 64)))
