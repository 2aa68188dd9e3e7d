;; Declares an initial memory of 1 GiB.
;; shell: retry
;; expect: rejected "memory"
(core module $guest
  (memory 16384)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
