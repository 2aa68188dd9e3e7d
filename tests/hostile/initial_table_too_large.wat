;; Declares a table of 100,000,000 entries.
;; shell: retry
;; expect: rejected "table"
(core module $guest
  (table 100000000 funcref)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
