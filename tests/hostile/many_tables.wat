;; Declares fifty tables.
;; shell: retry
;; expect: rejected "table"
(core module $guest
  <<50 times (table 1 funcref) >>
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
